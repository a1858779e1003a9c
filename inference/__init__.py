"""What happens to an image at prediction time.

`segmenter` shows an image's way from pixels to labels; its steps are the modules beside it and the folders `image` and
`decoding`. Before it comes `reading`, after it `outputs`, around it `running`: the files of a run. `cluster` does the
same on many machines.
"""

__version__ = "0.1.0"
