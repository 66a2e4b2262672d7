package netops

import (
	"github.com/mdlayher/socket"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// setFilter has the socket take ARP frames, and neighbour solicitations and
// advertisements, that come in, of the interface itself and not of a VLAN on it. A
// socket for ARP alone would be simpler, but those
// hear only what the interface's ingress hooks let through: nothing about an
// address that is blocked, just when it matters who else has it. A socket for
// everything is served before the hooks.
func setFilter(conn *socket.Conn) error {
	const etherType, nextHeader, icmpType = 12, 20, 54 // where they are in a frame
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: etherType, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: ethTypeARP, SkipTrue: 6},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: ethTypeIPv6, SkipTrue: 10},
		bpf.LoadAbsolute{Off: nextHeader, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: icmpv6, SkipTrue: 8},
		bpf.LoadAbsolute{Off: icmpType, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: solicitation, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: advertisement, SkipTrue: 5},
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OUTGOING, SkipTrue: 3},
		bpf.LoadExtension{Num: bpf.ExtVLANTagPresent},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 1},
		bpf.RetConstant{Val: neighbourMost},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return err
	}
	return conn.SetBPF(program)
}
