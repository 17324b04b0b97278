"""The fraud of the demo: campaigns of one fraudster each, who looks at what became of them and adapts."""
