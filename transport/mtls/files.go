package mtls

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"k8s.io/klog/v2"
)

// maxFile bounds what is read of a file: that of a Secret (Kubernetes' limit).
const maxFile = 1 << 20

// Files are the paths of PEM files with credentials.
type Files struct {
	CA          string `json:"ca"`
	Certificate string `json:"cert"`
	Key         string `json:"key"`
}

// IsZero reports whether no file is named.
func (f Files) IsZero() bool { return f == Files{} }

// Check reports which of the three is not named.
func (f Files) Check() error {
	for _, part := range [...]struct{ name, path string }{{"ca", f.CA}, {"cert", f.Certificate}, {"key", f.Key}} {
		if part.path == "" {
			return fmt.Errorf("%w: %s is missing: ca, cert and key are needed together", ErrFiles, part.name)
		}
	}
	return nil
}

// FileSource reads files again when they have changed, be it in place, by a
// rename, or by the swap of a symbolic link on their path, as Kubernetes does it
// with mounted Secrets. Files that cannot be used, such as half-written ones or
// a certificate whose key is still the old one, leave the credentials as they
// were, and the log has a line for each such change.
type FileSource struct {
	files Files

	mu      sync.Mutex
	stamps  [3]stamp     // of the last look
	good    bool         // what they stand for could be used
	current *Credentials // nil: none could be used yet
}

var _ Source = (*FileSource)(nil)

// OpenFiles reads the files. Its errors wrap ErrFiles and name the file.
func OpenFiles(f Files) (*FileSource, error) {
	s, err := ExpectFiles(f)
	if err == nil {
		_, err = s.look()
	}
	return s, err
}

// ExpectFiles is OpenFiles for files that may come later. Until they are there and
// good, Credentials says what is wrong with them.
func ExpectFiles(f Files) (*FileSource, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	return &FileSource{files: f}, nil
}

// Identity implements Source.
func (s *FileSource) Identity() string {
	return fmt.Sprintf("files:%q,%q,%q", s.files.CA, s.files.Certificate, s.files.Key)
}

// Credentials implements Source.
func (s *FileSource) Credentials(ctx context.Context) (*Credentials, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed, err := s.look()
	switch {
	case s.current == nil:
		return nil, err
	case err != nil && changed:
		klog.FromContext(ctx).Error(err, "Changed TLS files cannot be used; the certificates read before stay in use")
	}
	return s.current, nil
}

// look reads the files unless they are those of the last look and good, and
// reports whether they are others. s.mu is held, or s is not shared yet.
func (s *FileSource) look() (changed bool, err error) {
	// The stamps come first: what changes after them is found by the next look.
	var now [3]stamp
	for i, path := range [...]string{s.files.CA, s.files.Certificate, s.files.Key} {
		now[i] = stampOf(path)
	}
	changed = now != s.stamps
	if !changed && s.good {
		return false, nil
	}
	s.stamps = now
	read, err := s.files.read()
	s.good = err == nil
	if err != nil {
		return changed, fmt.Errorf("%w: %w", ErrFiles, err)
	}
	s.current = read
	return changed, nil
}

func (f Files) read() (*Credentials, error) {
	var p PEM
	for _, part := range [...]struct {
		path    string
		content *[]byte
	}{{f.CA, &p.CA}, {f.Certificate, &p.Certificate}, {f.Key, &p.Key}} {
		info, err := os.Stat(part.path)
		if err != nil {
			return nil, err
		}
		if info.Size() > maxFile || !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a file of at most %d bytes", part.path, maxFile)
		}
		if *part.content, err = os.ReadFile(part.path); err != nil {
			return nil, err
		}
	}
	return p.parse(names{f.CA, f.Certificate, f.Key})
}

// stamp tells one content of a file from another.
type stamp struct {
	device, inode uint64
	size          int64
	modified      time.Time
	missing       bool
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{missing: true} // reading it says why
	}
	s := stamp{size: info.Size(), modified: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device, s.inode = st.Dev, st.Ino
	}
	return s
}
