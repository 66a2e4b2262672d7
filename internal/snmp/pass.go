package snmp

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"mxcluster/internal/sinks"
)

// Pass answers snmpd over its pass_persist protocol until in ends: "PING", and "get" and
// "getnext" with an identifier on the next line. Look returns what there is now, in order;
// where it fails there is nothing.
func Pass(in io.Reader, out io.Writer, look func() ([]Object, error)) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		answer := "NONE\n"
		switch word := strings.ToLower(strings.TrimSpace(lines.Text())); word {
		case "ping":
			answer = "PONG\n"
		case "get", "getnext":
			if !lines.Scan() {
				return lines.Err()
			}
			if all, err := look(); err == nil {
				if o, ok := pick(word, all, strings.TrimSpace(lines.Text())); ok {
					answer = fmt.Sprintf("%s\n%s\n%s\n", o.OID, o.Kind, sinks.OneLine(o.Value))
				}
			}
		case "set":
			lines.Scan() // the identifier
			lines.Scan() // the value
			answer = "not-writable\n"
		case "":
			return nil // snmpd says so that it ends
		}
		if _, err := io.WriteString(out, answer); err != nil {
			return fmt.Errorf("answering snmpd: %w", err)
		}
	}
	return lines.Err()
}

func pick(word string, all []Object, oid string) (Object, bool) {
	if numbers(oid) == nil {
		return Object{}, false
	}
	if word == "get" {
		return find(all, oid)
	}
	return after(all, oid)
}
