//go:build !race

package stream_test

const poolLoss = 0
