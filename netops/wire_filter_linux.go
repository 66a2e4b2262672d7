package netops

import (
	"github.com/mdlayher/socket"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// step is an instruction of a filter; a conditional jump goes to the step with the label yes if its
// condition holds.
type step struct {
	label       string
	instruction bpf.Instruction
	yes         string
}

// assemble replaces labels by distances.
func assemble(steps []step) ([]bpf.RawInstruction, error) {
	at := map[string]int{}
	for i, s := range steps {
		if s.label != "" {
			at[s.label] = i
		}
	}
	program := make([]bpf.Instruction, len(steps))
	for i, s := range steps {
		program[i] = s.instruction
		if jump, ok := s.instruction.(bpf.JumpIf); ok {
			jump.SkipTrue = uint8(at[s.yes] - i - 1)
			program[i] = jump
		}
	}
	return bpf.Assemble(program)
}

// setFilter has the socket take ARP frames, and neighbour solicitations and
// advertisements, of the interface itself and not of a VLAN on it, and the answers to
// echoes with an identifier that come in. ARP that goes out is counted. A
// socket for ARP alone would be simpler, but those
// hear only what the interface's ingress hooks let through: nothing about an
// address that is blocked, just when it matters who else has it. A socket for
// everything is served before the hooks.
func setFilter(conn *socket.Conn, id uint16) error {
	const etherType, nextHeader, icmpType, icmpID = 12, 20, 54, 58                // where they are in a frame
	const version4, fragment4, protocol4, icmpType4, icmpID4 = 14, 20, 23, 34, 38 // in one of IPv4
	load := func(off uint32, size int) step { return step{instruction: bpf.LoadAbsolute{Off: off, Size: size}} }
	jump := func(cond bpf.JumpTest, val uint32, yes string) step {
		return step{instruction: bpf.JumpIf{Cond: cond, Val: val}, yes: yes}
	}
	echo4 := load(version4, 1)
	echo4.label = "echo of IPv4"
	incoming := step{label: "incoming", instruction: bpf.LoadExtension{Num: bpf.ExtType}}
	untagged := step{label: "untagged", instruction: bpf.LoadExtension{Num: bpf.ExtVLANTagPresent}}
	program, err := assemble([]step{
		load(etherType, 2),
		jump(bpf.JumpEqual, ethTypeARP, "untagged"),
		jump(bpf.JumpEqual, ethTypeIPv4, "echo of IPv4"),
		jump(bpf.JumpNotEqual, ethTypeIPv6, "none"),
		load(nextHeader, 1),
		jump(bpf.JumpNotEqual, icmpv6, "none"),
		load(icmpType, 1),
		jump(bpf.JumpEqual, solicitation, "untagged"),
		jump(bpf.JumpEqual, advertisement, "untagged"),
		jump(bpf.JumpNotEqual, echoReply6, "none"),
		load(icmpID, 2),
		jump(bpf.JumpEqual, uint32(id), "incoming"),
		jump(bpf.JumpNotEqual, uint32(id), "none"),
		echo4,
		jump(bpf.JumpNotEqual, 0x45, "none"),
		load(fragment4, 2),
		jump(bpf.JumpBitsSet, 0x3fff, "none"),
		load(protocol4, 1),
		jump(bpf.JumpNotEqual, icmpv4, "none"),
		load(icmpType4, 1),
		jump(bpf.JumpNotEqual, echoReply4, "none"),
		load(icmpID4, 2),
		jump(bpf.JumpNotEqual, uint32(id), "none"),
		incoming,
		jump(bpf.JumpEqual, unix.PACKET_OUTGOING, "none"),
		untagged,
		jump(bpf.JumpNotEqual, 0, "none"),
		{instruction: bpf.RetConstant{Val: neighbourMost}},
		{label: "none", instruction: bpf.RetConstant{Val: 0}},
	})
	if err != nil {
		return err
	}
	return conn.SetBPF(program)
}
