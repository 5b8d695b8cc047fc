package queries

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func grownOld(t *testing.T, path string) {
	t.Helper()
	require.NoError(t, os.Chtimes(path, time.Now(), time.Now().Add(-2*leaveAlone)))
}

// Anybody can make what looks like the folder of a run in /tmp: nothing is made,
// opened or removed by way of it.
func TestPlantedRunFoldersAreLeftAlone(t *testing.T) {
	parent, elsewhere := t.TempDir(), t.TempDir()
	planted := func(name string, mode os.FileMode) string {
		dir := filepath.Join(parent, runPrefix+name)
		require.NoError(t, os.Mkdir(dir, 0o700))
		require.NoError(t, os.Symlink(filepath.Join(elsewhere, name), filepath.Join(dir, "lock")))
		require.NoError(t, os.Chmod(dir, mode))
		grownOld(t, dir)
		return dir
	}
	open := planted("open", 0o777)
	stay := []string{open}
	if os.Geteuid() == 0 {
		others := planted("others", 0o700)
		require.NoError(t, os.Chown(others, 12345, 12345))
		stay = append(stay, others)
	}
	own := planted("own", 0o700)
	target := filepath.Join(elsewhere, "folder")
	require.NoError(t, os.Mkdir(target, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(target, "kept"), nil, 0o600))
	grownOld(t, target)
	link := filepath.Join(parent, runPrefix+"link")
	require.NoError(t, os.Symlink(target, link))
	_, err := openOwnDir(link)
	require.Error(t, err, "a link is no folder")

	dir, remove, err := makeRunDir(parent)
	require.NoError(t, err)
	require.NoDirExists(t, own, "one's own that has no run goes, whatever is in it")
	for _, path := range append(stay, link, filepath.Join(target, "kept"), dir) {
		_, err := os.Lstat(path)
		require.NoError(t, err)
	}
	left, err := os.ReadDir(elsewhere)
	require.NoError(t, err)
	require.Len(t, left, 1, "nothing was made where the planted links lead")
	require.NoError(t, remove())
	require.NoDirExists(t, dir)
}

// A run removes its folder while others look for abandoned ones: none of them is
// in its way.
func TestRunsDoNotRemoveEachOthersFolders(t *testing.T) {
	parent := t.TempDir()
	stop, ended := make(chan struct{}), make(chan struct{})
	for range 3 {
		go func() {
			defer func() { ended <- struct{}{} }()
			for {
				select {
				case <-stop:
					return
				default:
					removeAbandoned(parent)
				}
			}
		}()
	}
	for range 200 {
		dir, remove, err := makeRunDir(parent)
		require.NoError(t, err)
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		}
		grownOld(t, dir)
		require.FileExists(t, filepath.Join(dir, "a"))
		require.NoError(t, remove())
	}
	close(stop)
	for range 3 {
		<-ended
	}
}

func TestRemoveRunFolders(t *testing.T) {
	dir, remove, err := makeRunDir(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "spill"), nil, 0o600))
	RemoveRunFolders()
	require.NoDirExists(t, dir)
	require.NoError(t, remove())
}
