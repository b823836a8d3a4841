package driver

import (
	"sync"

	"google.golang.org/grpc/codes"
)

// Locks lets one operation at a time work on a key, such as a volume's id. The
// zero value is ready and safe for concurrent use.
type Locks struct {
	mu   sync.Mutex
	held map[string]struct{}
}

// TryLock takes the key or fails with codes.Aborted, which tells the caller to
// come back: CSI asks for that answer while an operation is pending (CSI spec,
// "Error Scheme"). unlock is to be called once.
func (l *Locks) TryLock(key string) (unlock func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, busy := l.held[key]; busy {
		return nil, Errorf(codes.Aborted, "an operation on %s is under way; try again", key)
	}
	if l.held == nil {
		l.held = make(map[string]struct{})
	}
	l.held[key] = struct{}{}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.held, key)
	}, nil
}
