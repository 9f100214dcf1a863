package descriptor

import "strings"

// Container is what a docker starter runs. All texts are as written, and empty
// where the descriptor says nothing.
type Container struct {
	// Image is the image's name. Where it is left out it is the distribution's
	// name and version, as name:version.
	Image string

	// Command is run in the container instead of what its image says, not yet split.
	Command string

	// AutoRemove says that the container is removed once it has ended. It is true
	// where autoRemoveEnabled is left out.
	AutoRemove bool

	// Settings are the options of docker run that the starter has, under the
	// names of its attributes and in a fixed order.
	Settings []Property

	Ports   []PortMapping
	Volumes []VolumeMapping
	Env     []Property
}

// PortMapping has a port of the host lead to one of the container.
type PortMapping struct {
	Host, Container string
}

// VolumeMapping shows a folder of the host, or a volume, in the container.
type VolumeMapping struct {
	Host, Container string

	// Permission is docker's, such as "ro" and "rw".
	Permission string
}

// containerAttributes are attributes of docker that are options of docker run.
// The last four are Corus' own and not in its schema.
var containerAttributes = []string{
	"user", "networkMode", "macAddress", "memory", "memorySwap", "cpuShares", "cpuPeriod", "cpuSetCpus", "cpuQuota",
	"blkioWeight", "cgroupParent", "addHost", "cpuSetMems", "memorySwappiness", "oomKillDisable",
}

// container reads the attributes of a docker element.
func (e *element) container() *Container {
	c := &Container{AutoRemove: e.boolean("autoRemoveEnabled", true)}
	if image, ok := e.attribute("image"); ok {
		c.Image = strings.TrimSpace(image)
		if c.Image == "" {
			e.problem("attribute \"image\" is empty: leave it out for the distribution's name and version")
		}
	}
	c.Command, _ = e.attribute("command")
	for _, key := range containerAttributes {
		if value, ok := e.attribute(key); ok && strings.TrimSpace(value) != "" {
			c.Settings = append(c.Settings, Property{Name: key, Value: strings.TrimSpace(value)})
		}
	}
	return c
}

// volume reads a volumeMapping element.
func (e *element) volume() VolumeMapping {
	permission, _ := e.attribute("permission")
	return VolumeMapping{Host: e.filled("hostVolume"), Container: e.filled("containerVolume"), Permission: strings.TrimSpace(permission)}
}
