package mounter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/csi-9p/csi-9p/node/turns"
)

// Volumes are the volumes of a node. The zero value is ready; it is safe for
// concurrent use. Calls on one volume come one after the other.
type Volumes struct {
	// Linger is how long a prepared volume waits for Serve, and a session that was
	// lent for the next client; 0: a minute.
	Linger time.Duration
	Options

	sessions sessions
	turns    turns.Turns[string] // of calls on one volume

	mu       sync.Mutex
	current  map[string]*Volume // by volume id
	draining map[*Volume]struct{}
	watchers sync.WaitGroup // one for each volume that is served
}

// turn waits until no other call works on a volume, as long as ctx does; done
// ends the caller's.
func (vs *Volumes) turn(ctx context.Context, id string) (done func(), err error) {
	if done, err = vs.turns.Take(ctx, id); err != nil {
		return nil, fmt.Errorf("another call on volume %s is under way: %w", id, err)
	}
	return done, nil
}

// Prepare makes sure that the volume can be served. One that is served already
// goes on for whoever still holds its mount, and is replaced.
func (vs *Volumes) Prepare(ctx context.Context, spec Spec) error {
	done, err := vs.turn(ctx, spec.VolumeID)
	if err != nil {
		return err
	}
	defer done()
	v, err := prepare(ctx, &vs.sessions, spec, vs.Options)
	if err != nil {
		return err
	}
	v.linger = time.AfterFunc(cmp.Or(vs.Linger, time.Minute), func() { vs.expire(v) })
	vs.mu.Lock()
	old := vs.current[spec.VolumeID]
	if vs.current == nil {
		vs.current, vs.draining = make(map[string]*Volume), make(map[*Volume]struct{})
	}
	vs.current[spec.VolumeID] = v
	if old != nil && old.State() != Prepared {
		vs.draining[old] = struct{}{}
		old = nil
	}
	vs.mu.Unlock()
	if old != nil {
		old.Discard()
	}
	return nil
}

// expire drops a volume that nobody came to serve.
func (vs *Volumes) expire(v *Volume) {
	done, err := vs.turn(context.Background(), v.spec.VolumeID)
	if err != nil {
		return
	}
	defer done()
	if v.State() == Prepared && vs.forget(v) {
		v.Discard()
	}
}

// Serve runs the FUSE connection of dev for a prepared volume. It returns when
// the mount is usable. dev stays the caller's.
func (vs *Volumes) Serve(ctx context.Context, id string, dev *os.File) error {
	done, err := vs.turn(ctx, id)
	if err != nil {
		return err
	}
	defer done()
	v, err := vs.get(id)
	if err != nil {
		return err
	}
	if err := v.Serve(ctx, dev); err != nil {
		return err
	}
	vs.watchers.Go(func() {
		<-v.Done()
		vs.forget(v)
	})
	return nil
}

// Release waits until the volume's connection has ended, or ctx. Then the error
// is ErrInUse, and the volume is served on until its mount's last user lets go,
// of whom what was written so far is on the server by then if that is not slow;
// its id is free for another Prepare, and while there is none, another Release
// waits on. An unknown volume is no error.
func (vs *Volumes) Release(ctx context.Context, id string) error {
	done, err := vs.turn(ctx, id)
	if err != nil {
		return err
	}
	defer done()
	v := vs.held(id)
	if v == nil {
		return nil
	}
	if v.State() == Prepared {
		vs.forget(v)
		v.Discard()
		return nil
	}
	v.flush(ctx)
	select {
	case <-v.Ended():
		vs.forget(v)
		return nil
	case <-ctx.Done():
	}
	if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if vs.current[id] == v {
		delete(vs.current, id)
		vs.draining[v] = struct{}{}
	}
	return fmt.Errorf("volume %s: %w", id, ErrInUse)
}

// Stats returns the size and use of a volume. It asks the server.
func (vs *Volumes) Stats(ctx context.Context, id string) (Usage, error) {
	v, err := vs.get(id)
	if err != nil {
		return Usage{}, err
	}
	return v.Stats(ctx)
}

// Resize sets the size in bytes that a volume reports.
func (vs *Volumes) Resize(id string, bytes int64) error {
	v, err := vs.get(id)
	if err != nil {
		return err
	}
	if bytes < 0 {
		return fmt.Errorf("%w: the capacity is negative", ErrSpec)
	}
	v.capacity.Store(bytes)
	return nil
}

// Close ends all volumes: their connections, whoever uses them, and all
// sessions. Requests under way have until ctx ends. Nothing may be prepared
// meanwhile or after.
func (vs *Volumes) Close(ctx context.Context) error {
	all := vs.all()
	errs := make([]error, len(all))
	var closing sync.WaitGroup
	for i, v := range all {
		closing.Go(func() {
			if v.State() != Prepared || vs.forget(v) { // else it is being dropped already
				errs[i] = v.Close(ctx)
			}
		})
	}
	closing.Wait()
	vs.watchers.Wait()
	vs.sessions.close() // those that are lent
	return errors.Join(errs...)
}

// list returns the state of all volumes, or of the one with that id.
func (vs *Volumes) list(id string) ([]Status, error) {
	if id != "" {
		v := vs.held(id)
		if v == nil {
			return nil, fmt.Errorf("%w %s", ErrUnknownVolume, id)
		}
		return []Status{vs.status(v)}, nil
	}
	var all []Status
	for _, v := range vs.all() {
		all = append(all, vs.status(v))
	}
	return all, nil
}

func (vs *Volumes) status(v *Volume) Status {
	status := v.Status()
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if _, drains := vs.draining[v]; drains {
		status.State = Draining
	}
	return status
}

// all returns every volume.
func (vs *Volumes) all() []*Volume {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return slices.AppendSeq(slices.Collect(maps.Values(vs.current)), maps.Keys(vs.draining))
}

// held returns the volume with that id: the current one or, if there is none,
// one that drains; nil if there is neither.
func (vs *Volumes) held(id string) *Volume {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if v, ok := vs.current[id]; ok {
		return v
	}
	for v := range vs.draining {
		if v.spec.VolumeID == id {
			return v
		}
	}
	return nil
}

func (vs *Volumes) get(id string) (*Volume, error) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if v, ok := vs.current[id]; ok {
		return v, nil
	}
	return nil, fmt.Errorf("%w %s", ErrUnknownVolume, id)
}

// forget takes the volume out of the table; false if it was not in.
func (vs *Volumes) forget(v *Volume) bool {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	_, known := vs.draining[v]
	delete(vs.draining, v)
	if vs.current[v.spec.VolumeID] == v {
		delete(vs.current, v.spec.VolumeID)
		known = true
	}
	return known
}
