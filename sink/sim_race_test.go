//go:build race

package sink

// The race detector makes a history ten times as long.
func init() { *simHistories = 300 }
