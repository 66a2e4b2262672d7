package wire

import (
	"encoding/binary"
	"fmt"

	"mxcluster/xdata/internal/datatest"
)

var (
	must     = datatest.Must
	wantCode = datatest.WantCode
)

// frame returns a frame with a length of its own choosing.
func frame(t FrameType, size uint32, payload string) string {
	head := binary.BigEndian.AppendUint32([]byte{byte(t)}, size)
	return string(head) + payload
}

// message returns a frame of the right length.
func message(t FrameType, payload string) string { return frame(t, uint32(len(payload)), payload) }

func greetingOf(version int) []byte {
	return fmt.Appendf(nil, `{"magic":"mxcluster-xdata","version":%d}`, version)
}
