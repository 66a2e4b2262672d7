package snmp

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/gosnmp/gosnmp"

	"mxcluster/internal/alarms"
	"mxcluster/internal/sinks"
)

// Config says to whom, and how, notifications go.
type Config struct {
	Target    string // address and port
	Version   string // 2c or 3
	Inform    bool   // the manager acknowledges each
	Community string // of version 2c

	User         string // of version 3
	AuthProtocol string // see [AuthProtocol]
	AuthPass     string
	PrivProtocol string // see [PrivProtocol]
	PrivPass     string // "": what is sent can be read by all

	EngineID string    // of this server, see [EngineID]
	Started  time.Time // of this agent: the engine's boots and time count from it
}

const (
	answerLimit = 2 * time.Second // of one inform
	informs     = 3               // that are sent until one is acknowledged
)

// EngineID is the SNMP engine of a server: netSnmp's number, a text, and the server's name.
func EngineID(server string) string {
	const maxName = 27
	return "\x80\x00\x1f\x88\x04" + server[:min(len(server), maxName)]
}

// Sink sends alarms to one manager.
type Sink struct {
	Config
	Now func() time.Time
}

// Name is "snmp" and the manager.
func (s *Sink) Name() string { return "snmp " + s.Target }

// Reach says that it reaches people.
func (s *Sink) Reach() alarms.Reach { return alarms.People }

// Tell sends one notification. An inform is taken when it was acknowledged; a trap when it
// was sent.
func (s *Sink) Tell(ctx context.Context, m sinks.Message) error {
	g, err := s.session(ctx)
	if err != nil {
		return err
	}
	if err := g.Connect(); err != nil {
		return fmt.Errorf("connecting to %s: %w", s.Target, err)
	}
	defer g.Conn.Close()
	if _, err := g.SendTrap(gosnmp.SnmpTrap{Variables: s.variables(m), IsInform: s.Inform}); err != nil {
		return fmt.Errorf("notifying %s: %w", s.Target, err)
	}
	return nil
}

func (s *Sink) session(ctx context.Context) (*gosnmp.GoSNMP, error) {
	host, port, err := net.SplitHostPort(s.Target)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Target, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Target, err)
	}
	g := &gosnmp.GoSNMP{Target: host, Port: uint16(n), Transport: "udp", Context: ctx, Timeout: answerLimit, Retries: informs - 1,
		MaxOids: gosnmp.MaxOids, Version: gosnmp.Version2c, Community: s.Community}
	if s.Version != "3" {
		return g, nil
	}
	auth, known := AuthProtocol(s.AuthProtocol)
	if !known {
		return nil, fmt.Errorf("there is no authentication protocol %q", s.AuthProtocol)
	}
	g.Version, g.SecurityModel, g.MsgFlags = gosnmp.Version3, gosnmp.UserSecurityModel, gosnmp.AuthNoPriv
	usm := &gosnmp.UsmSecurityParameters{UserName: s.User, AuthenticationProtocol: auth, AuthenticationPassphrase: s.AuthPass}
	if s.PrivPass != "" {
		if usm.PrivacyProtocol, known = PrivProtocol(s.PrivProtocol); !known {
			return nil, fmt.Errorf("there is no privacy protocol %q", s.PrivProtocol)
		}
		usm.PrivacyPassphrase, g.MsgFlags = s.PrivPass, gosnmp.AuthPriv
	}
	if !s.Inform { // of a trap this server is the authority; boots grow with each start
		usm.AuthoritativeEngineID = s.EngineID
		usm.AuthoritativeEngineBoots = uint32(s.Started.Unix()) //nolint:gosec // until 2038 as RFC 3414 has it
		usm.AuthoritativeEngineTime = uint32(max(s.Now().Sub(s.Started), 0) / time.Second)
		g.ContextEngineID = s.EngineID
	}
	g.SecurityParameters = usm
	return g, nil
}

// AuthProtocol is an authentication protocol by its name.
func AuthProtocol(name string) (p gosnmp.SnmpV3AuthProtocol, known bool) {
	switch name {
	case "SHA":
		return gosnmp.SHA, true
	case "SHA-224":
		return gosnmp.SHA224, true
	case "SHA-256":
		return gosnmp.SHA256, true
	case "SHA-384":
		return gosnmp.SHA384, true
	case "SHA-512":
		return gosnmp.SHA512, true
	}
	return gosnmp.NoAuth, false
}

// PrivProtocol is a privacy protocol by its name.
func PrivProtocol(name string) (p gosnmp.SnmpV3PrivProtocol, known bool) {
	switch name {
	case "AES":
		return gosnmp.AES, true
	case "AES-192":
		return gosnmp.AES192, true
	case "AES-256":
		return gosnmp.AES256, true
	}
	return gosnmp.NoPriv, false
}

// variables are what a notification carries.
func (s *Sink) variables(m sinks.Message) []gosnmp.SnmpPDU {
	kind := oidCleared
	switch m.State {
	case sinks.Raised:
		kind = oidRaised
	case sinks.Test:
		kind = oidTest
	}
	again := uint32(0)
	if m.Again {
		again = 1
	}
	of := func(column int) string { return fmt.Sprintf("%s.%d.%d", oidAlarms, column, m.Handle) }
	up := uint32(max(s.Now().Sub(s.Started), 0) / (10 * time.Millisecond)) //nolint:gosec // it begins again after 497 days, as RFC 3418 has it
	text := func(oid, value string) gosnmp.SnmpPDU {
		return gosnmp.SnmpPDU{Name: oid, Type: gosnmp.OctetString, Value: []byte(value)}
	}
	number := func(oid string, value int) gosnmp.SnmpPDU {
		return gosnmp.SnmpPDU{Name: oid, Type: gosnmp.Integer, Value: value}
	}
	return []gosnmp.SnmpPDU{
		{Name: ".1.3.6.1.2.1.1.3.0", Type: gosnmp.TimeTicks, Value: up},
		{Name: ".1.3.6.1.6.3.1.1.4.1.0", Type: gosnmp.ObjectIdentifier, Value: kind},
		text(of(columnAlarmName), m.Name), number(of(columnAlarmSeverity), severity(m.Severity)), number(of(columnAlarmLIM), m.LIM),
		text(of(columnAlarmServer), m.Server), text(of(columnAlarmText), sinks.OneLine(m.Text)), text(of(columnAlarmSince), m.RaisedAt.Format(time.RFC3339)),
		text(oidNotice+".1.0", m.System), text(oidNotice+".2.0", m.ToldBy), {Name: oidNotice + ".3.0", Type: gosnmp.Gauge32, Value: again}, number(oidNotice+".4.0", m.Handle),
	}
}
