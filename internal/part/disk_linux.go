package part

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Disk is a small file system in memory, for tests of one that is full. It is gone
// with the test.
type Disk struct {
	Dir string
	tb  testing.TB
}

// MountDisk mounts a file system of size bytes. That takes root: the test is skipped
// for others, but fails where CI=true.
func MountDisk(tb testing.TB, size int) *Disk {
	tb.Helper()
	d := &Disk{Dir: tb.TempDir(), tb: tb}
	name, _, _ := strings.Cut(tb.Name(), "/")
	err := d.mount(0, size)
	Need(tb, fmt.Sprintf("a small file system (mounting a tmpfs: %v)", err), err == nil, "sudo -E go test -run "+name)
	tb.Cleanup(func() {
		if err := syscall.Unmount(d.Dir, syscall.MNT_DETACH); err != nil {
			tb.Errorf("unmount %s: %v", d.Dir, err)
		}
	})
	return d
}

func (d *Disk) mount(flags uintptr, size int) error {
	return syscall.Mount("auditlake-test", d.Dir, "tmpfs", flags, fmt.Sprintf("size=%d", size))
}

// Resize gives the file system another size, in bytes.
func (d *Disk) Resize(size int) {
	d.tb.Helper()
	if err := d.mount(syscall.MS_REMOUNT, size); err != nil {
		d.tb.Fatalf("make %s one of %d bytes: %v", d.Dir, size, err)
	}
}

// Fill takes what room is left, to the last byte, until free is called.
func (d *Disk) Fill() (free func()) {
	d.tb.Helper()
	path := filepath.Join(d.Dir, "ballast")
	if err := ballast(path); err != nil {
		d.tb.Fatalf("fill %s: %v", d.Dir, err)
	}
	return func() {
		d.tb.Helper()
		if err := os.Remove(path); err != nil {
			d.tb.Fatal(err)
		}
	}
}

// ballast writes a file until there is no room, in ever smaller pieces.
func ballast(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for _, piece := range []int{1 << 20, 64 << 10, 4 << 10} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, piece))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}
