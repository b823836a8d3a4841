//go:build race

package stream_test

// poolLoss is how many allocations a call may have beside the expected, because
// sync.Pool loses some of what it was given under the race detector.
const poolLoss = 2
