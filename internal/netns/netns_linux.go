package netns

import (
	"errors"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"mxcluster/internal/fault"
)

// NS is an open network namespace. Its methods may be called from any
// goroutine; none of them changes the namespace of the caller's thread.
type NS struct {
	handle netns.NsHandle
	links  *netlink.Handle // a netlink socket that lives inside the namespace
}

// New makes a network namespace whose loopback interface is up. It needs
// CAP_SYS_ADMIN in the current user namespace, else the error is fault.NotPermitted.
func New() (*NS, error) {
	n, err := onThrowawayThread(func() (*NS, error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return nil, err
		}
		return open(netns.Get)
	})
	if err != nil {
		return nil, wrap(err, "make a network namespace")
	}
	if err := n.SetUp("lo"); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Current opens the namespace of the calling thread.
func Current() (*NS, error) {
	// The thread must not change between asking for the namespace and opening
	// the socket in it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	n, err := open(netns.Get)
	return n, wrap(err, "open the current network namespace")
}

// FromPID opens the namespace that the process pid runs in.
func FromPID(pid int) (*NS, error) {
	n, err := onThrowawayThread(func() (*NS, error) {
		return open(func() (netns.NsHandle, error) {
			handle, err := netns.GetFromPid(pid)
			if err != nil {
				return handle, err
			}
			return handle, netns.Set(handle)
		})
	})
	return n, wrap(err, "open the network namespace of process %d", pid)
}

// open takes the handle that get returns, and a netlink socket of the calling
// thread's namespace, which get must have made the same one.
func open(get func() (netns.NsHandle, error)) (*NS, error) {
	handle, err := get()
	if err != nil {
		return nil, err
	}
	links, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, errors.Join(err, handle.Close())
	}
	return &NS{handle: handle, links: links}, nil
}

// onThrowawayThread runs fn on an OS thread that ends with it. A locked thread
// whose goroutine returns is destroyed by the Go runtime, so fn may leave the
// thread in any namespace: no other goroutine will ever run there.
func onThrowawayThread(fn func() (*NS, error)) (n *NS, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread is what others see as the process's
			// namespace in /proc. Keep it busy here, so that the runtime
			// must give another thread to the second try.
			n, err = onThrowawayThread(fn)
			runtime.UnlockOSThread()
			return
		}
		n, err = fn()
	}()
	<-done
	return n, err
}

// Do runs fn inside the namespace, on an OS thread of its own, and returns
// fn's error. Sockets that fn opens and processes that it starts stay in the
// namespace; goroutines that it starts run outside. A fn that ends its
// goroutine (as testing.T.Fatal does) ends the caller's as well.
func (n *NS) Do(fn func() error) error {
	var err error
	returned := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = n.inside(fn)
		returned = true
	}()
	<-done
	if !returned {
		runtime.Goexit()
	}
	return err
}

// inside enters the namespace, runs fn and goes back. A thread that did not
// get back to where it came from stays locked, and ends with its goroutine.
func (n *NS) inside(fn func() error) error {
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return wrap(err, "open the current network namespace")
	}
	defer before.Close()
	if err := netns.Set(n.handle); err != nil {
		runtime.UnlockOSThread()
		return wrap(err, "enter the network namespace")
	}
	defer func() {
		if netns.Set(before) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return fn()
}

// FD returns the namespace's file descriptor. It is close-on-exec and stays
// the property of n.
func (n *NS) FD() int { return int(n.handle) }

// Close gives the namespace up. The kernel removes it with all its interfaces
// when no process runs in it any more.
func (n *NS) Close() error {
	n.links.Close()
	return wrap(n.handle.Close(), "close a network namespace")
}

// hintPermission is the remedy when the kernel refuses for lack of a capability.
const hintPermission = "run as root, or inside a user namespace that has the right to make network namespaces"

// wrap says what was being done when the kernel refused. Missing rights get
// their own exit code and remedy.
func wrap(err error, format string, args ...any) error {
	if fault.CodeOf(err) == fault.NotPermitted {
		return fault.Wrap(err, fault.NotPermitted, hintPermission, format, args...)
	}
	return fault.Wrap(err, fault.Failed, "", format, args...)
}
