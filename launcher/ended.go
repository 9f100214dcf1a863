package launcher

import (
	"os"
	"slices"
)

// noteEnded notes that a process ends, and returns the ids of those that are
// forgotten for it: only so many are remembered. The highest id is always
// kept, since the next one is counted from it.
func (l *Launcher) noteEnded(id int) (forget []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = append(l.ended, id)
	for i := 0; len(l.ended) > l.KeepEnded && i < len(l.ended); {
		if oldest := l.ended[i]; oldest == l.highestID || oldest == id {
			i++
			continue
		}
		forget = append(forget, l.ended[i])
		l.ended = slices.Delete(l.ended, i, i+1)
	}
	return forget
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
	if err := os.RemoveAll(l.Dir(id)); err != nil {
		l.Logger.Error("cannot remove the folder of a process", "process", id, "error", err)
	}
}
