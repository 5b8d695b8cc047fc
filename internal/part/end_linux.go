package part

import (
	"os/exec"
	"syscall"
)

// endWithParent ends cmd also where the test process dies without cleaning up.
func endWithParent(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
