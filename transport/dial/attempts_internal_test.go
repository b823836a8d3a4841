package dial

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// silent is a server of whom nothing is heard.
func silent(ctx context.Context, _ string) (net.Conn, error) {
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
		c, err := attempts(ctx, []string{"server"}, func(ctx context.Context, host string) (net.Conn, error) {
			if time.Since(start) < attemptTimeout {
				return silent(ctx, host)
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
		if _, err := attempts(ctx, []string{"server"}, silent); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != patience {
			t.Errorf("error %v after %v, want a deadline after %v", err, time.Since(start), patience)
		}
	})
}

func TestRefusalIsAnAnswer(t *testing.T) {
	refused := errors.New("connection refused")
	var asked []string
	_, err := attempts(t.Context(), []string{"a", "b"}, func(_ context.Context, host string) (net.Conn, error) {
		asked = append(asked, host)
		return nil, refused
	})
	if !slices.Equal(asked, []string{"a", "b"}) || !errors.Is(err, refused) {
		t.Errorf("attempts at %q, %v; want one at each", asked, err)
	}
}

// However many addresses of a name are dead, the one that is not is found.
func TestEveryAddressHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alive, _ := net.Pipe()
		defer alive.Close()
		start := time.Now()
		c, err := attempts(t.Context(), []string{"dead", "buried", "alive"}, func(ctx context.Context, host string) (net.Conn, error) {
			if host != "alive" {
				return silent(ctx, host)
			}
			return alive, nil
		})
		if err != nil || c != alive || time.Since(start) != 2*attemptTimeout {
			t.Errorf("%v, %v after %v; want the connection after %v", c, err, time.Since(start), 2*attemptTimeout)
		}
	})
}
