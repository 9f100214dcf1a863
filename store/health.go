package store

import "context"

// Health is how the disk and the content of a store are.
type Health struct {
	// Dir is the store's folder. Available is how many bytes its disk has to
	// give, and Needed how many it must have for keys to be made.
	Dir               string
	Available, Needed int64

	// Refusal is why batches that make keys are refused: ErrNoSpace, ErrDamaged,
	// another error, or nil.
	Refusal error

	// Damage tells what is lost or damaged and not yet accepted, a line each.
	Damage []string
}

// Inspector is a store that can tell of its health.
type Inspector interface {
	// Health looks at the disk, and never fails.
	Health() Health

	// Accept ends the refusal for damage: the store goes on with what it has.
	// Without damage it does nothing.
	Accept() error
}

type rebuilding struct{}

// Rebuilding is a context whose commits are not refused with ErrDamaged: they
// put back what was lost. Who uses it knows for certain what that was.
func Rebuilding(ctx context.Context) context.Context {
	return context.WithValue(ctx, rebuilding{}, true)
}

// IsRebuilding reports whether a context is one of Rebuilding.
func IsRebuilding(ctx context.Context) bool { return ctx.Value(rebuilding{}) != nil }
