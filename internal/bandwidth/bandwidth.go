// Package bandwidth measures how fast bytes pass between two programs that are connected by a
// stream, each way by itself. Neither side believes the other: bytes, memory and, by who ends the
// stream, time are bounded.
//
// Who asks writes a line, "up N" or "down N". To the first, N bytes follow, and the other side says
// so with a line's end once it has read them; to the second it answers with N bytes.
package bandwidth

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

const (
	firstBlock = 64 << 10
	maxBlock   = 64 << 20
	// maxBytes bounds what is read and written: blocks double, so all of one way are less
	// than two of the largest.
	maxBytes = 4 * maxBlock
	// enough is how long a block takes that is long enough to tell.
	enough = 500 * time.Millisecond
	// maxLine is the most bytes of a line.
	maxLine = 32
)

// Rates are what was measured, in bytes a second.
type Rates struct {
	Up   int64 // to the other side
	Down int64 // from it
}

// Measure measures a stream to where [Serve] runs, with blocks that double until one takes half a
// second.
func Measure(conn io.ReadWriter, now func() time.Time) (r Rates, err error) {
	in := bufio.NewReader(conn)
	if r.Up, err = doubling(now, func(n int64) error {
		if _, err := fmt.Fprintf(conn, "up %d\n", n); err != nil {
			return err
		}
		if err := send(conn, n); err != nil {
			return err
		}
		switch c, err := in.ReadByte(); {
		case err != nil:
			return err
		case c != '\n':
			return errors.New("the other side says something else than that it has read")
		}
		return nil
	}); err != nil {
		return r, fmt.Errorf("sending: %w", err)
	}
	if r.Down, err = doubling(now, func(n int64) error {
		if _, err := fmt.Fprintf(conn, "down %d\n", n); err != nil {
			return err
		}
		return receive(in, n)
	}); err != nil {
		return r, fmt.Errorf("receiving: %w", err)
	}
	return r, nil
}

// doubling moves blocks, and returns the rate of the last one.
func doubling(now func() time.Time, move func(n int64) error) (rate int64, err error) {
	for n := int64(firstBlock); ; n *= 2 {
		began := now()
		if err := move(n); err != nil {
			return 0, err
		}
		took := max(now().Sub(began), time.Microsecond)
		if took >= enough || n == maxBlock {
			return int64(float64(n) / took.Seconds()), nil
		}
	}
}

// Serve answers [Measure] until the stream ends, which is no error. It reads and writes some hundred
// megabytes at most.
func Serve(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	for left := int64(maxBytes); ; {
		line, err := readLine(lines)
		switch {
		case errors.Is(err, io.EOF) && line == "":
			return nil
		case err != nil:
			return err
		}
		way, number, _ := strings.Cut(line, " ")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 0 || n > maxBlock || way != "up" && way != "down" {
			return fmt.Errorf("%q is no block to measure by", line)
		}
		if left -= n; left < 0 {
			return errors.New("the blocks are more than it takes to measure")
		}
		if way == "down" {
			err = send(out, n)
		} else if err = receive(lines, n); err == nil {
			_, err = out.Write([]byte{'\n'})
		}
		if err != nil {
			return err
		}
	}
}

// readLine reads a line, which it returns without its end.
func readLine(in *bufio.Reader) (string, error) {
	var line []byte
	for {
		c, err := in.ReadByte()
		switch {
		case err != nil:
			return string(line), err
		case c == '\n':
			return string(line), nil
		case len(line) == maxLine:
			return "", errors.New("a line without an end")
		}
		line = append(line, c)
	}
}

// send writes n bytes that no ssh makes smaller.
func send(out io.Writer, n int64) error {
	block := make([]byte, firstBlock) // what compresses looks back over less
	r := rand.New(rand.NewPCG(1, 2))  //nolint:gosec // content
	for i := range block {
		block[i] = byte(r.Uint32())
	}
	for n > 0 {
		wrote, err := out.Write(block[:min(n, int64(len(block)))])
		if err != nil {
			return err
		}
		n -= int64(wrote)
	}
	return nil
}

// receive reads n bytes, and keeps none.
func receive(in io.Reader, n int64) error {
	if _, err := io.CopyN(io.Discard, in, n); err != nil {
		return fmt.Errorf("%d bytes are not through: %w", n, err)
	}
	return nil
}
