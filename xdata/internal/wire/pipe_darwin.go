package wire

import (
	"os"
	"syscall"
)

func widenPipe(*os.File, int) int { return 0 }

func sendFile(syscall.RawConn, int, int64, int) int { return 0 }

func unreadBytes(*os.File) (int, bool) { return 0, false }
