package part

import (
	"os/exec"
	"syscall"
)

// endWithParent ends cmd also where the test process dies without cleaning up.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
