// Command calls stands for the software of a LIM and for its callers, in the test of the packages:
// datagrams that are answered, and one asked for every 5 ms. It has nothing of the program.
//
//	calls answer :5060          # until it is ended
//	calls ask 10.0.0.11:5060    # until standard input ends; then says how many answers were missing
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// Between two calls, and how long the last ones may take to be answered.
const (
	interval = 5 * time.Millisecond
	patience = time.Second
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "calls:", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader, stdout io.Writer) error {
	switch {
	case len(args) == 2 && args[0] == "answer":
		return answer(args[1])
	case len(args) == 2 && args[0] == "ask":
		return ask(args[1], stdin, stdout)
	}
	return errors.New("usage: calls answer ADDRESS | calls ask ADDRESS")
}

// answer sends each datagram back to where it came from.
func answer(address string) error {
	conn, err := net.ListenPacket("udp4", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	buffer := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return err
		}
		// A caller that is gone is no reason to end.
		_, _ = conn.WriteTo(buffer[:n], from)
	}
}

// ask calls until its standard input ends, and says what was answered.
func ask(address string, stdin io.Reader, stdout io.Writer) error {
	conn, err := net.Dial("udp4", address)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		close(ended)
	}()
	answered := make(chan tally)
	go func() { answered <- listen(conn) }()

	tick := time.NewTicker(interval)
	defer tick.Stop()
	var sent uint64
	for asking := true; asking; {
		select {
		case <-ended:
			asking = false
		case <-tick.C:
			sent++
			// An address that nobody has is a call that is lost.
			_, _ = conn.Write(binary.BigEndian.AppendUint64(nil, sent))
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	got := <-answered
	_, err = fmt.Fprintf(stdout, "%d lost of %d calls, longest silence %d ms\n", sent-got.calls, sent, got.silence.Milliseconds())
	return errors.Join(err, conn.Close())
}

// tally is what a caller heard.
type tally struct {
	calls   uint64        // that were answered, each counted once
	silence time.Duration // the longest between two answers
}

// listen counts answers until the time for reading is over.
func listen(conn net.Conn) tally {
	var heard tally
	seen := make(map[uint64]bool)
	last := time.Now()
	buffer := make([]byte, 1500)
	for {
		n, err := conn.Read(buffer)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return heard
		case err != nil || n != 8: // a refusal, which a later call does not meet
			continue
		}
		if number := binary.BigEndian.Uint64(buffer[:n]); !seen[number] {
			seen[number] = true
			heard.calls++
		}
		heard.silence = max(heard.silence, time.Since(last))
		last = time.Now()
	}
}
