package external

import "regexp"

// reason is one for which the suite may leave a spec out.
type reason struct {
	text    *regexp.Regexp // of the skip
	missing string         // what the driver lacks: a capability or another key of testdriver.yaml; "" for a rule of the suite
	why     string
}

// reasons are all that are accepted. A spec that is skipped for anything else (a tool that a node lacks, too few nodes)
// was not tested although the driver claims what it is about.
var reasons = []reason{
	{text("does not support volume type \"(InlineVolume|PreprovisionedPV)\""), "",
		"the suite makes no volume of this type for an external driver"},
	{text("Suite .* does not support|immediate binding may cause pod startup failures"), "",
		"the suite rules the combination out for every driver"},
	{text("doesn't support (ext3|ext4|xfs|ntfs) "), "SupportedFsType",
		"a share is no block device on which a file system could be made"},
	{text("doesn't support Block |does not support block volume|does not provide raw block|should be covered by block volume case"), "block",
		"a share holds files, not block devices"},
	{text("does not support volume type \"CSIInlineVolume\"|have any InlineVolumeAttributes"), "InlineVolumes",
		"inline volumes would let whoever may make a pod choose a server"},
	{text("does not support (volume |)snapshots|populating data from snapshot|specify snapshot stress test"), "snapshotDataSource",
		"the driver makes no snapshots"},
	{text("does not support group snapshots|specify volume group snapshot stress"), "groupSnapshot", "the driver makes no snapshots"},
	{text("does not support snapshot metadata"), "snapshotMetadata", "the driver makes no snapshots"},
	{text("does not support (cloning|volume clone)"), "pvcDataSource", "the driver makes no clones"},
	{text("(configured|nil|support) VolumeAttributesClass|specify volume modify stress test"), "VolumeAttributesClass",
		"a volume has the attributes that it was made with"},
	{text("does not support SELinuxMount"), "seLinuxMount", "the driver does not offer mounts with a context"},
	{text("does not support topology"), "topology", "every node reaches a share of the network"},
	{text("does not support volume limits"), "volumeLimits", "no limit on the number of volumes of a node"},
	{text("doesn't publish storage capacity"), "capacity", "free space does not decide where a pod runs"},
}

func text(pattern string) *regexp.Regexp { return regexp.MustCompile(pattern) }

// accept returns the reason that a skip's text states, and false if there is none that is accepted.
func accept(skip string) (reason, bool) {
	for _, r := range reasons {
		if r.text.MatchString(skip) {
			return r, true
		}
	}
	return reason{}, false
}
