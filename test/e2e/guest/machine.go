package guest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/csi-9p/csi-9p/test/e2e/guest/order"
	"github.com/csi-9p/csi-9p/test/e2e/guest/qemu"
)

// machine is a guest that answers.
type machine struct {
	*qemu.Machine
	order.Hello

	services *services // beside it

	orders  *order.Port
	console *printed // by the kernel and the first process
	output  *printed // by the steps' programs
}

// boot starts a machine and waits until the program inside says hello.
func boot(ctx context.Context, c qemu.Config, patience time.Duration) (*machine, error) {
	started, err := qemu.Start(c)
	if err != nil {
		return nil, err
	}
	m := &machine{Machine: started, orders: order.NewPort(started.Orders), console: &printed{path: c.Console}, output: &printed{path: c.Output}}
	go answer(order.NewPort(started.Host), c.Share)
	if err := m.receive(ctx, patience, &m.Hello); err != nil {
		return nil, errors.Join(fmt.Errorf("the guest did not come up: %w", err), m.showConsole(), m.Stop())
	}
	if m.Error != "" {
		return nil, errors.Join(fmt.Errorf("the guest came up, but: %s", m.Error), m.showConsole(), m.Stop())
	}
	m.console.skip()
	return m, nil
}

// errSilent says that a guest does not answer.
var errSilent = errors.New("the guest does not answer")

// receive takes what the guest says next.
func (m *machine) receive(ctx context.Context, patience time.Duration, v any) error {
	received := make(chan error, 1)
	go func() { received <- m.orders.Receive(v) }()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	var err error
	select {
	case err = <-received:
		if err == nil {
			return nil
		}
		select { // it may have ended, which says more
		case <-m.Ended():
			return m.Err()
		case <-time.After(time.Second):
			return err
		}
	case <-m.Ended():
		err = m.Err()
	case <-timeout.C:
		err = fmt.Errorf("%w, for %s", errSilent, patience)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	_ = m.Orders.Close()
	<-received //nolint:errcheck // the error of a connection that was just closed
	return err
}

// run has the guest run a step.
func (m *machine) run(ctx context.Context, step order.Step) (order.Outcome, error) {
	const grace = 30 * time.Second // to end a program that takes too long, and to say so
	if err := m.orders.Send(step); err != nil {
		return order.Outcome{}, err
	}
	var outcome order.Outcome
	err := m.receive(ctx, step.Timeout+grace, &outcome)
	return outcome, err
}

// end has the guest end by itself, and sees to it that it is gone.
func (m *machine) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := m.orders.Send(order.Step{})
	if err == nil {
		err = m.Wait(ctx)
	}
	return errors.Join(err, m.Stop(), m.services.stop())
}

// showConsole returns an error that has what the guest printed on its console since the last step.
func (m *machine) showConsole() error {
	text := m.console.rest()
	m.console.skip()
	if text == "" {
		return nil
	}
	return fmt.Errorf("the guest's console:\n%s", text)
}

// printed is a file that the guest prints to.
type printed struct {
	path string
	seen int64 // how much of it is of no interest any more
}

// rest is the end of what has been printed since skip.
func (p *printed) rest() string {
	const most = 16 << 10
	f, err := os.Open(p.path)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, p.seen, 1<<30))
	if err != nil {
		return ""
	}
	return string(text[max(0, len(text)-most):])
}

// skip has done with what is there.
func (p *printed) skip() {
	if info, err := os.Stat(p.path); err == nil {
		p.seen = info.Size()
	}
}

// answer answers the guest's questions about the share until the machine is gone.
func answer(port *order.Port, share string) {
	for {
		var q order.Question
		if err := port.Receive(&q); err != nil {
			return
		}
		a, err := look(share, q)
		if err != nil {
			a.Error = err.Error()
		}
		if err := port.Send(a); err != nil {
			return
		}
	}
}

// look answers one question. The guest cannot make it look outside of the share.
func look(share string, q order.Question) (a order.Answer, err error) {
	root, err := os.OpenRoot(share)
	if err != nil {
		return a, err
	}
	defer root.Close()
	if q.List != "" {
		dir, err := root.Open(filepath.Clean(q.List))
		if err != nil {
			return a, err
		}
		defer dir.Close()
		a.Names, err = dir.Readdirnames(-1)
		return a, err
	}
	f, err := root.Open(filepath.Clean(q.Digest))
	if err != nil {
		return a, err
	}
	defer f.Close()
	hash := sha256.New()
	_, err = io.Copy(hash, f)
	a.Digest = hex.EncodeToString(hash.Sum(nil))
	return a, err
}
