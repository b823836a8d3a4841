package turns_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/csi-9p/csi-9p/node/turns"
)

func TestTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all turns.Turns[string]
		done, err := all.Take(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if other, err := all.Take(t.Context(), "b"); err != nil {
			t.Errorf("another key: %v", err)
		} else {
			other()
		}
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		if _, err := all.Take(ctx, "a"); !errors.Is(err, why) {
			t.Errorf("a turn that is taken: %v", err)
		}
		next := make(chan func())
		go func() {
			done, err := all.Take(t.Context(), "a")
			if err != nil {
				t.Error(err)
			}
			next <- done
		}()
		synctest.Wait()
		select {
		case <-next:
			t.Error("two have the turn")
		default:
		}
		done()
		(<-next)()
		if done, err := all.Take(ctx, "a"); err != nil {
			t.Errorf("a turn that nobody has: %v", err)
		} else {
			done()
		}
	})
}
