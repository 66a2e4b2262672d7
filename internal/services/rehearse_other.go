//go:build !linux

package services

import "time"

// EndRehearsals has nothing to do: there are none.
func (o Options) EndRehearsals(time.Duration) error { return nil }

// RehearsalsLeft reports that there are none.
func (o Options) RehearsalsLeft() bool { return false }
