"""What a teacher takes into class: views that dissolve misconceptions, slides of them, questions with answers."""
