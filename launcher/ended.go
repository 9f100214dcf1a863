package launcher

import (
	"os"
	"slices"
)

// noteEnding notes that a process is about to end, and returns the ids of those
// that are forgotten for it: only so many are remembered. Those whose own end is
// not written down yet are never among them. The highest id is always kept,
// since the next one is counted from it.
func (l *Launcher) noteEnding() (forget []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ending++
	for i := 0; len(l.ended)+l.ending > l.KeepEnded && i < len(l.ended); {
		if l.ended[i] == l.highestID {
			i++
			continue
		}
		forget = append(forget, l.ended[i])
		l.ended = slices.Delete(l.ended, i, i+1)
	}
	return forget
}

// noteEnded notes that the end of a process is written down.
func (l *Launcher) noteEnded(id int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ending--
	l.ended = append(l.ended, id)
}

// forget drops processes whose records are gone.
func (l *Launcher) forget(ids []int) {
	l.mu.Lock()
	for _, id := range ids {
		delete(l.units, id)
	}
	l.mu.Unlock()
	for _, id := range ids {
		l.removeDir(id)
	}
}

func (l *Launcher) removeDir(id int) {
	l.forgetOutput(id)
	if err := os.RemoveAll(l.Dir(id)); err != nil {
		l.Logger.Error("cannot remove the folder of a process", "process", id, "error", err)
	}
}
