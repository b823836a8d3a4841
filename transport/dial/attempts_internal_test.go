package dial

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// silent is a server of whom nothing is heard.
func silent(ctx context.Context) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestUnansweredAttemptIsFollowedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		moved, _ := net.Pipe()
		defer moved.Close()
		start := time.Now()
		c, err := attempts(ctx, func(ctx context.Context) (net.Conn, error) {
			if time.Since(start) < attemptTimeout {
				return silent(ctx)
			}
			return moved, nil
		})
		if err != nil || c != moved || time.Since(start) != attemptTimeout {
			t.Errorf("%v, %v after %v; want the connection after %v", c, err, time.Since(start), attemptTimeout)
		}
	})
}

func TestAttemptsEndWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const patience = 10 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		start := time.Now()
		if _, err := attempts(ctx, silent); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != patience {
			t.Errorf("error %v after %v, want a deadline after %v", err, time.Since(start), patience)
		}
	})
}

func TestRefusalIsAnAnswer(t *testing.T) {
	refused := errors.New("connection refused")
	calls := 0
	_, err := attempts(t.Context(), func(context.Context) (net.Conn, error) {
		calls++
		return nil, refused
	})
	if calls != 1 || !errors.Is(err, refused) {
		t.Errorf("%d attempts, %v; want one", calls, err)
	}
}
