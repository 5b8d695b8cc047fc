//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package feed

import (
	"fmt"
	"os"
	"runtime"
)

// lockDir refuses: without a lock two brokers could write one log.
func lockDir(dir string) (*os.File, error) {
	return nil, fmt.Errorf("dev broker: directories cannot be locked on %s: use a Kafka of your own (%s is unchanged)", runtime.GOOS, dir)
}
