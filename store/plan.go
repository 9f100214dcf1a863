package store

import (
	"encoding/binary"
	"errors"
)

// step is a change that a chunk makes to a key, and what it takes to undo it.
type step struct {
	key     string
	deletes bool   // the chunk deletes the key; otherwise it puts it
	existed bool   // the key was there before
	old     []byte // its value then
}

// plan is the steps of one chunk.
type plan []step

// planOverhead is the most bytes that a step takes besides its key and value.
const planOverhead = 1 + 2*binary.MaxVarintLen32

const (
	stepDeletes = 1 << iota
	stepExisted
)

var errBadPlan = errors.New("the plan of a chunk is damaged")

func (p plan) encode() []byte {
	var out []byte
	for _, st := range p {
		var flags byte
		if st.deletes {
			flags |= stepDeletes
		}
		if st.existed {
			flags |= stepExisted
		}
		out = append(out, flags)
		out = binary.AppendUvarint(out, uint64(len(st.key)))
		out = append(out, st.key...)
		out = binary.AppendUvarint(out, uint64(len(st.old)))
		out = append(out, st.old...)
	}
	return out
}

func decodePlan(in []byte) (plan, error) {
	var p plan
	field := func() ([]byte, bool) {
		n, used := binary.Uvarint(in)
		if used <= 0 || n > uint64(len(in)-used) {
			return nil, false
		}
		value := in[used : used+int(n)]
		in = in[used+int(n):]
		return value, true
	}
	for len(in) > 0 {
		flags := in[0]
		in = in[1:]
		key, ok := field()
		if !ok {
			return nil, errBadPlan
		}
		old, ok := field()
		if !ok {
			return nil, errBadPlan
		}
		p = append(p, step{key: string(key), deletes: flags&stepDeletes != 0, existed: flags&stepExisted != 0, old: old})
	}
	return p, nil
}
