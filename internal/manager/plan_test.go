package manager

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// site is a pair that steps are done on, as far as what is seen of it goes.
type site struct{ master, standby Prepared }

// do carries a step out, and fails where it is taken before what it stands on.
func (s *site) do(t *rapid.T, step Step) {
	p := &s.master
	if step.On == Standby {
		p = &s.standby
	}
	needs := func(ok bool, what string) {
		if !ok {
			t.Fatalf("%s on %s without %s: %+v", step.ID, step.On, what, *s)
		}
	}
	switch step.ID {
	case StepSecret:
		p.Secret = true
	case StepSettings:
		needs(p.Secret, "the file that they name")
		p.Settings, p.InForce = true, false
	case StepRestart:
		needs(p.Settings, "settings")
		p.InForce = true
	case StepRole:
		needs(p.Secret, "a password")
		p.Role = true
	case StepAccess:
		needs(step.On == Standby || p.Role, "the role")
		p.Access = true
	case StepSlot:
		needs(p.InForce, "settings that allow one")
		p.Slot = true
	case StepAddress:
		p.Address = true
	case StepSignal:
		needs(p.Address, "an agent that has it accept writes")
		p.Signal = true
	case StepSync:
		needs(p.Streaming, "anybody who confirms")
		p.Sync = true
	case StepLogin:
		needs(s.master.Role && s.master.Access && s.master.InForce, "a master that lets it in")
		p.Login = true
	case StepClone:
		needs(!p.Foreign, "an end of the data that are there")
		needs(p.Login && s.master.Slot, "a master that keeps the log for it")
		p.Copy, p.Writes, p.Running = true, false, false
	case StepFollow:
		needs(p.Copy && p.Settings, "a copy, and settings that say whose")
		p.Running, p.Writes, p.InForce = true, false, true
	case StepStreaming:
		needs(p.Running && p.Copy && !p.Writes, "a follower")
		p.Streaming, s.master.Streaming = true, true
	}
}

// run takes steps of a plan until it is done, or killed.
func (s *site) run(t *rapid.T, w Wish, steps int) {
	for ; steps > 0; steps-- {
		left := Plan(w, s.master, s.standby)
		if len(left) == 0 {
			return
		}
		if len(left[0].Needs) > 0 {
			t.Fatalf("the first step waits for another one: %+v", left)
		}
		s.do(t, left[0])
	}
}

// Whatever is there already, and wherever it is killed: the set-up goes on by what it sees, takes
// no step before its time, and ends with nothing left; again, nothing is left to do.
func TestSetupGoesOnWhereItWasKilled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sync := rapid.Bool().Draw(t, "synchronous")
		s := site{master: Prepared{Running: true, Writes: true}, standby: Prepared{Running: true, Writes: true}}
		if rapid.Bool().Draw(t, "set up by halves before") {
			s.master.Secret, s.master.Settings = true, rapid.Bool().Draw(t, "settings")
		}
		const all = 100
		for range rapid.IntRange(0, 8).Draw(t, "kills") {
			s.run(t, Wish{Role: Master}, rapid.IntRange(0, 3).Draw(t, "steps"))
		}
		s.run(t, Wish{Role: Master, Synchronous: sync}, all)
		for range rapid.IntRange(0, 8).Draw(t, "kills of the standby's") {
			s.run(t, Wish{Role: Standby}, rapid.IntRange(0, 3).Draw(t, "steps"))
		}
		s.run(t, Wish{Role: Standby}, all)
		s.run(t, Wish{Role: Master, Synchronous: sync}, all)
		if !s.standby.Streaming || s.master.Sync != sync || !s.master.Address {
			t.Fatalf("it ended with %+v", s)
		}
		for _, r := range []Role{Master, Standby} {
			if left := Plan(Wish{Role: r, Synchronous: sync}, s.master, s.standby); len(left) > 0 {
				t.Fatalf("left on %s: %+v", r, left)
			}
		}
	})
}

// Whatever is seen: needs come before what needs them, each step is planned once, and data that
// are no copy are never replaced.
func TestPlansAreInOrder(t *testing.T) {
	draw := func(t *rapid.T, who string) Prepared {
		b := func(what string) bool { return rapid.Bool().Draw(t, who+what) }
		return Prepared{Secret: b("secret"), Settings: b("settings"), InForce: b("in force"), Access: b("access"), Role: b("role"), Slot: b("slot"), Login: b("login"),
			Copy: b("copy"), Foreign: b("foreign"), Writes: b("writes"), Running: b("running"), Streaming: b("streaming"), Sync: b("sync"), Address: b("address"), Signal: b("signal")}
	}
	rapid.Check(t, func(t *rapid.T) {
		m, s := draw(t, "master "), draw(t, "standby ")
		for _, w := range []Wish{{Role: Master}, {Role: Master, Synchronous: true}, {Role: Standby}} {
			var before []StepID
			for _, step := range Plan(w, m, s) {
				if slices.Contains(before, step.ID) {
					t.Fatalf("%s twice", step.ID)
				}
				for _, n := range step.Needs {
					if !slices.Contains(before, n) {
						t.Fatalf("%s needs %s, which comes later", step.ID, n)
					}
				}
				if step.ID == StepClone && s.Foreign {
					t.Fatal("data that are no copy are replaced")
				}
				if step.ID == StepSync && !m.Streaming {
					t.Fatal("commits wait for nobody")
				}
				before = append(before, step.ID)
			}
		}
	})
}
