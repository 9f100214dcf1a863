package api

// Health tells how the daemon's disk and store are.
type Health struct {
	Healthy   bool     `json:"healthy" doc:"there is room, and nothing is damaged"`
	ReadOnly  bool     `json:"readOnly" doc:"nothing is leased or started; what is there can end"`
	Reason    string   `json:"reason,omitempty" doc:"why it is read-only"`
	Folder    string   `json:"folder" doc:"the store's folder"`
	Available int64    `json:"available" doc:"bytes that its disk has to give"`
	Needed    int64    `json:"needed" doc:"bytes that must be available for ports to be leased"`
	Damage    []string `json:"damage" doc:"what is lost or damaged and was not accepted"`
	Rebuilt   []string `json:"rebuilt" doc:"processes whose records were lost and put back, with their leases, since they run"`
	Left      []string `json:"notRebuilt" doc:"processes that run and whose records could not be put back; they are left alone"`

	Kernel *KernelPorts `json:"kernel,omitempty" doc:"how the kernel's settings are for the ports of ranges, which healthy does not count; absent where they cannot be read"`
}
