"""What a release is made of, and the proof of it: the wheel, its bill of materials, licences, known weaknesses."""
