package host

// WithCopies makes a host whose instances have ordinary memory, as they do on systems that cannot map an image.
func (o Options) WithCopies() Options {
	o.copies = true
	return o
}

// Kinds of frames, for workers that lie.
const (
	FrameDone  = frameDone
	FrameCall  = frameCall
	FrameEnded = frameEnded
)
