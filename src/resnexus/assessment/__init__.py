"""The job of `resnexus evaluate`: one network on one data set, looked at from all sides."""
