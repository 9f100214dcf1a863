package descriptor

// Limits bound what is read and written for an archive. A field that is zero
// stands for its default, so that Limits{} is the default of all.
type Limits struct {
	// Entries is the most files and folders in an archive, folders that only
	// occur in the names of files included. Default 100,000.
	Entries int

	// Bytes is the most that all files of an archive may have together when
	// unpacked, and the most that the archive itself may have. Default 2 GiB.
	Bytes int64

	// EntryBytes is the most that one file may have. Default 1 GiB.
	EntryBytes int64

	// Ratio is how many times larger than the archive all its files together
	// may be. Default 200.
	Ratio int64

	// RatioFrom is the unpacked size in bytes up to which Ratio is not looked
	// at, since small texts shrink a lot. Default 16 MiB.
	RatioFrom int64
}

// Bounds of a descriptor's text, the same for every descriptor. They are far
// above what a real one has: the largest seen has a few hundred elements.
const (
	maxDescriptorBytes = 1 << 20
	maxDepth           = 32
	maxElements        = 10_000
	maxAttributes      = 64 // of one element
)

// withDefaults returns l with its zero fields replaced.
func (l Limits) withDefaults() Limits {
	if l.Entries == 0 {
		l.Entries = 100_000
	}
	if l.Bytes == 0 {
		l.Bytes = 2 << 30
	}
	if l.EntryBytes == 0 {
		l.EntryBytes = 1 << 30
	}
	if l.Ratio == 0 {
		l.Ratio = 200
	}
	if l.RatioFrom == 0 {
		l.RatioFrom = 16 << 20
	}
	return l
}
