package api

// The scopes of properties.
const (
	ScopeProcess = "process" // processes are given it
	ScopeServer  = "server"  // the server's own
)

// Property is a name with a value.
type Property struct {
	Name     string `json:"name" doc:"a name as Java properties have it" example:"db.url"`
	Value    string `json:"value" doc:"in lists ********* where the name says that it is a secret"`
	Scope    string `json:"scope" doc:"process or server"`
	Category string `json:"category,omitempty" doc:"whose processes are given it; empty: all processes"`
	Hidden   bool   `json:"hidden,omitempty" doc:"the name says that the value is a secret"`
}

// Pair is a property that is being set.
type Pair struct {
	Name  string `json:"name" doc:"a name as Java properties have it; -secret, -password and the like make it a secret"`
	Value string `json:"value" doc:"any text"`
}

// AddProperties asks for properties to be set, all or none.
type AddProperties struct {
	Scope      string   `json:"scope,omitempty" doc:"process (the default) or server"`
	Categories []string `json:"categories,omitempty" doc:"set it in each of these; empty: for all processes"`
	Properties []Pair   `json:"properties" doc:"what to set"`
	Clear      bool     `json:"clear,omitempty" doc:"delete the others of that scope and these categories"`
}

// DeletedProperties are the properties that a deletion removed.
type DeletedProperties struct {
	Deleted []Property `json:"deleted" doc:"as they were, secrets masked"`
}

// PropertySelection selects properties. Its patterns hold * for any run of characters.
type PropertySelection struct {
	Scope      string   // process (the default) or server
	Names      []string // patterns, one of which fits; none: all
	Categories []string // patterns of categories, one of which fits; none: the global ones
	Every      bool     // without Categories: also those of all categories
}

// Tag is a tag that the server has.
type Tag struct {
	Name string `json:"name" doc:"a tag" example:"web"`
}

// AddTags asks for tags, all or none.
type AddTags struct {
	Tags  []string `json:"tags" doc:"the tags to add"`
	Clear bool     `json:"clear,omitempty" doc:"delete all others"`
}

// DeletedTags are the tags that a deletion removed.
type DeletedTags struct {
	Deleted []Tag `json:"deleted" doc:"as they were"`
}

// RenamedTag is a tag with its new name.
type RenamedTag struct {
	From string `json:"from" doc:"its name until now"`
	To   string `json:"to" doc:"its new name"`
}

// RenameTags asks for tags to be renamed, and answers which were.
type RenameTags struct {
	Tags []RenamedTag `json:"tags" doc:"from and to of each"`
}

// The kinds of settings that are archived by themselves.
const (
	KindProperties = "properties"
	KindTags       = "tags"
	KindExecs      = "execs" // exec configurations
)

// ArchivedSettings tells how many settings of a kind an archive holds after
// archiving or restoring.
type ArchivedSettings struct {
	Revision string `json:"revision" doc:"the name of the archive"`
	Kind     string `json:"kind" doc:"what it is of" enum:"properties,tags,execs"`
	Count    int    `json:"count" doc:"how many"`
}
