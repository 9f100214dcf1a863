package badger

import (
	"encoding/binary"
	"errors"

	"berth/store"
)

// Badger's keys begin with a byte that says what they are for.
const (
	dataMark = 'd' // before a key of the store
	metaMark = 'm' // before what the store keeps for itself
)

// revisionKey has the last revision, written with each group.
var revisionKey = []byte{metaMark, 'r'}

// revisionBytes is the size of the revision before a value.
const revisionBytes = 8

var errShortValue = errors.New("value is too short to have a revision; the store is damaged")

func dataKey(key string) []byte {
	out := make([]byte, 0, 1+len(key))
	return append(append(out, dataMark), key...)
}

// decodeValue splits what is stored into revision and value.
func decodeValue(stored []byte) (store.Revision, []byte, error) {
	if len(stored) < revisionBytes {
		return 0, nil, errShortValue
	}
	return store.Revision(binary.BigEndian.Uint64(stored)), stored[revisionBytes:], nil
}
