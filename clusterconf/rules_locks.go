package clusterconf

func checkLockTimes(d *Document, report reportFunc) {
	for i, c := range d.Clusters {
		for j, m := range c.LIMs {
			if m.Lock == nil {
				continue
			}
			path := memberPath(i, j) + ".lock"
			switch expires := m.Lock.Expires; {
			case m.Lock.Since.IsZero():
				report(path+".since", "write when it was locked, e.g. 2026-03-01T02:00:00Z", "the lock of LIM %d has no beginning", m.LIM)
			case expires != nil && !expires.After(m.Lock.Since):
				report(path+".expires", "write a later time, or leave it out for a lock without end",
					"the lock of LIM %d expires at %s, before it begins", m.LIM, timeText(*expires))
			}
		}
	}
}

func checkLockText(d *Document, report reportFunc) {
	for i, c := range d.Clusters {
		for j, m := range c.LIMs {
			if m.Lock == nil {
				continue
			}
			for _, t := range []struct{ key, text string }{{"by", m.Lock.By}, {"reason", m.Lock.Reason}} {
				if !oneLine(t.text) {
					report(memberPath(i, j)+".lock."+t.key, "use one line without control characters",
						"the lock's %s of LIM %d must be one line of at most %d bytes", t.key, m.LIM, maxText)
				}
			}
		}
	}
}
