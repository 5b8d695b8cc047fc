package storage

import (
	"os"
	"testing"
	"time"
)

// TestMain shortens the waits between attempts, of which the tests have hundreds.
func TestMain(m *testing.M) {
	firstBackoff = 20 * time.Millisecond
	os.Exit(m.Run())
}
