// Command generate makes the data of the sync benchmarks, the same for the same
// arguments:
//
//	generate WORKLOAD BEFORE AFTER [SCALE]
//
// BEFORE becomes the version that both sides have, AFTER the new one; W1 and W5
// have none before, and in W2 both are the same. SCALE, 1 by default, is how much
// of the sizes and numbers that the figures in the documentation speak of.
//
//	W1  2,000 new files, 96 MB, half of it compressible
//	W2  nothing changed, 2,000 files (W2b: 20,000)
//	W3  a dump of 1 GiB: 1 % of its 8 KiB pages changed, 200 pieces put in or
//	    taken out; and 500 small files
//	W4  20,000 files of 2 KB, 100 of them changed
//	W5  one new file of 1 GiB that does not compress
package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: generate WORKLOAD BEFORE AFTER [SCALE]")
		os.Exit(64)
	}
	scale := 1.0
	if len(os.Args) > 4 {
		var err error
		if scale, err = strconv.ParseFloat(os.Args[4], 64); err != nil || scale <= 0 {
			fmt.Fprintln(os.Stderr, "generate: bad scale", os.Args[4])
			os.Exit(64)
		}
	}
	if err := generate(os.Args[1], os.Args[2], os.Args[3], scale); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(workload, before, after string, scale float64) error {
	n := func(full int) int { return max(int(float64(full)*scale), 1) }
	old := maker{dir: before, seed: 1, at: time.Date(2026, 3, 1, 2, 0, 0, 123456789, time.UTC)}
	now := maker{dir: after, seed: 1, at: old.at.Add(24 * time.Hour)}
	switch workload {
	case "W1":
		return now.files(n(2000), 48<<10, 0)
	case "W2", "W2b":
		count := n(2000)
		if workload == "W2b" {
			count = n(20000)
		}
		now.at = old.at
		return firstError(old.files(count, 4<<10, 0), now.files(count, 4<<10, 0))
	case "W3":
		return firstError(
			old.dump(n(1<<17), false), old.files(n(500), 4<<10, 0),
			now.dump(n(1<<17), true), now.files(n(500), 4<<10, n(5)))
	case "W4":
		return firstError(old.files(n(20000), 2<<10, 0), now.files(n(20000), 2<<10, n(100)))
	case "W5":
		return now.noise(n(1 << 10))
	}
	return fmt.Errorf("no workload %q", workload)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// maker makes the files of one version.
type maker struct {
	dir  string
	seed uint64
	at   time.Time // of files that are not as before
}

func (m maker) random(what, i int) *rand.Rand {
	return rand.New(rand.NewPCG(m.seed, uint64(what)<<32|uint64(i))) //nolint:gosec // not for secrets
}

// create makes a file, of a day before all others unless it is changed.
func (m maker) create(name string, changed bool, fill func(w *bufio.Writer)) error {
	full := filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	f, err := os.Create(full)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	fill(w)
	if err := firstError(w.Flush(), f.Close()); err != nil {
		return err
	}
	at := time.Date(2026, 2, 1, 0, 0, 0, 987654321, time.UTC)
	if changed {
		at = m.at
	}
	return os.Chtimes(full, at, at)
}

// files makes files of a size, every second one compressible, the first few of
// them with other content than before.
func (m maker) files(count, size, changed int) error {
	for i := range count {
		r := m.random(1, i)
		if i < changed {
			r = m.random(2, i)
		}
		err := m.create(fmt.Sprintf("d%03d/f%05d", i/100, i), i < max(changed, 1), func(w *bufio.Writer) {
			if i%2 == 0 {
				words(w, r, size)
			} else {
				noise(w, r, size)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

const page = 8 << 10

// dump makes a file of pages, each a mix as in a database; changed, some of
// them are others, and the places of those behind shift.
func (m maker) dump(pages int, changed bool) error {
	edits, shifts := m.random(3, 0), m.random(4, 0)
	shiftAt := map[int]bool{}
	for range max(200*pages>>17, 1) {
		shiftAt[shifts.IntN(pages)] = true
	}
	return m.create("dump.sql", true, func(w *bufio.Writer) {
		buf := make([]byte, page)
		for i := range pages {
			r := m.random(5, i)
			if edits.IntN(100) == 0 && changed {
				r = m.random(6, i)
			}
			fillPage(buf, r)
			switch n := 1 + shifts.IntN(500); {
			case !changed || !shiftAt[i]:
				_, _ = w.Write(buf) // Flush tells
			case n%2 == 0:
				_, _ = w.Write(buf[:page-n])
			default:
				_, _ = w.Write(buf)
				noise(w, r, n)
			}
		}
	})
}

// fillPage makes a page of which about half compresses.
func fillPage(p []byte, r *rand.Rand) {
	for i := 0; i < len(p); i += 16 {
		v := r.Uint64()
		if i%32 == 0 {
			copy(p[i:], fmt.Sprintf("%016d", v%100000))
			continue
		}
		for j := range 8 {
			p[i+j], p[i+8+j] = byte(v>>(8*j)), byte(v>>(56-8*j))^0x5a
		}
	}
}

// noise makes one file of mebibytes that do not compress.
func (m maker) noise(mebibytes int) error {
	return m.create("recording.bin", true, func(w *bufio.Writer) {
		for i := range mebibytes {
			noise(w, m.random(7, i), 1<<20)
		}
	})
}

func noise(w *bufio.Writer, r *rand.Rand, n int) {
	for ; n > 0; n -= 8 {
		v := r.Uint64()
		for j := range min(n, 8) {
			_ = w.WriteByte(byte(v >> (8 * j)))
		}
	}
}

// words makes lines as a configuration has them.
func words(w *bufio.Writer, r *rand.Rand, n int) {
	list := []string{"extension", "number", "route", "group", "active", "lim", "directory", "subscriber", "NULL", "true", "4711", "2026-03-01"}
	for n > 0 {
		word := list[r.IntN(len(list))] + strconv.Itoa(r.IntN(50)) + " "
		word = word[:min(len(word), n)]
		_, _ = w.WriteString(word)
		n -= len(word)
	}
}
