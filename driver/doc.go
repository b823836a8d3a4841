// Package driver is what the CSI controller and the CSI node service share:
// the gRPC server on a unix socket, the Identity service, the table of error
// codes and the locks that keep two calls off one volume. Its sub-packages
// hold the parameters, volume ids, shares and records.
//
// Services return plain errors that wrap their cause; the server's interceptor
// turns them into gRPC codes by Code, and logs the call.
package driver
