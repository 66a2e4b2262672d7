//go:build linux

package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// A server's socket carries one command per connection. A message is one packet of JSON; the
// request's standard streams are passed as descriptors, so that input and output are not copied.

// request is a request to a server.
type request struct {
	Boot   *bootRequest `json:"boot,omitempty"`   // first request, from the host
	Argv   []string     `json:"argv,omitempty"`   // command to run; answered by PID, then by Exit
	Env    []string     `json:"env,omitempty"`    // added to the server's environment
	Signal int          `json:"signal,omitempty"` // for the process of this connection

	Terminal bool `json:"terminal,omitempty"` // standard input is the command's controlling terminal
}

// bootRequest is what an operating system reads from its own files.
type bootRequest struct {
	Interface string `json:"interface"`
	Address   string `json:"address"` // with length
}

// reply is an answer of a server.
type reply struct {
	Booted bool   `json:"booted,omitempty"`
	PID    int    `json:"pid,omitempty"`
	Exit   *int   `json:"exit,omitempty"`
	Error  string `json:"error,omitempty"`
}

// largestMessage bounds a message, in bytes.
const largestMessage = 128 << 10

// socketPath is the path of a server's socket.
func socketPath(dir, server string) string {
	return filepath.Join(dir, server, "exec.sock")
}

func send(conn *net.UnixConn, message any, files ...*os.File) error {
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	_, _, err = conn.WriteMsgUnix(data, rights, nil)
	return err
}

// receive reads one message and the descriptors sent with it, which the caller must close. A closed
// connection is io.EOF.
func receive(conn *net.UnixConn, message any) ([]*os.File, error) {
	data := make([]byte, largestMessage)
	rights := make([]byte, unix.CmsgSpace(3*4))
	n, rightsLen, flags, _, err := conn.ReadMsgUnix(data, rights)
	if errors.Is(err, syscall.ECONNRESET) || (err == nil && n == 0) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, err
	}
	files, err := filesOf(rights[:rightsLen])
	if err == nil && flags&unix.MSG_TRUNC != 0 {
		err = fmt.Errorf("message longer than %d bytes", largestMessage)
	}
	if err == nil {
		err = json.Unmarshal(data[:n], message)
	}
	if err != nil {
		closeAll(files)
		return nil, err
	}
	return files, nil
}

func filesOf(rights []byte) ([]*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			closeAll(files)
			return nil, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
