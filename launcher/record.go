package launcher

import (
	"encoding/json"
	"errors"
	"strconv"
)

func (l *Launcher) processPrefix() string { return "processes/" + l.Host + "/" }

func (l *Launcher) processKey(id int) string { return l.processPrefix() + strconv.Itoa(id) }

// intentScope is where batches that are larger than the store takes leave what
// undoes them. It is not the lease manager's.
func (l *Launcher) intentScope() string { return "launcher-" + l.Host }

func encodeProcess(p Process) []byte {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // plain data
	}
	return b
}

// decodeProcess reads a record. What is stored was once observed by somebody
// else: nothing of it is believed without a look.
func decodeProcess(b []byte) (Process, error) {
	var p Process
	if err := json.Unmarshal(b, &p); err != nil {
		return Process{}, err
	}
	switch p.Status {
	case Starting, Stopping, Restarting, Waiting, Ended:
	default:
		return Process{}, errors.New("unknown status " + strconv.Quote(string(p.Status)))
	}
	if p.ID <= 0 || p.Name == "" || p.Distribution == "" || p.Version == "" {
		return Process{}, errors.New("a field is missing")
	}
	if p.Live() && p.Identity.IsZero() {
		return Process{}, errors.New("a live process without an identity")
	}
	for i := range p.Ports {
		p.Ports[i].State = p.Ports[i].unwatched()
	}
	return p, nil
}
