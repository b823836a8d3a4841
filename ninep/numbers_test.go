package ninep

import "testing"

func TestNumbersAreTheLowestFree(t *testing.T) {
	var n numbers
	take := func(want uint32) {
		t.Helper()
		if got, ok := n.take(200); got != want || !ok {
			t.Fatalf("take = %d, %v, want %d", got, ok, want)
		}
	}
	for i := range uint32(200) {
		take(i)
	}
	if v, ok := n.take(200); ok {
		t.Fatalf("took %d of 200", v)
	}
	for _, v := range []uint32{199, 64, 63, 130} {
		n.give(v)
	}
	for _, v := range []uint32{63, 64, 130, 199} {
		take(v)
	}
	n.give(5)
	take(5)
	if v, ok := n.take(100); ok {
		t.Fatalf("took %d of 100", v)
	}
}
