"""From labelled images to the checkpoints in weights/, and the commands that measure them.

The commands lie here, each one a module. `images` is what is trained on, `learning` how; `readers` read other people's
data sets and labels, `synthetic` draws images, `own` is for a few images of one's own, `parcel` for a borrowed GPU, and
`measure` scores and times.
"""
