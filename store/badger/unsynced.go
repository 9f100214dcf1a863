//go:build faults

package badger

import "os"

// unsynced has no commit wait for the disk: the fault suite shows with it that
// its power cuts notice when something is lost.
var unsynced = os.Getenv("BERTH_UNSYNCED") == "1"
