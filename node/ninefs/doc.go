// Package ninefs makes a file system of a directory on a 9P server: FUSE requests come in, 9P calls go out.
package ninefs
