from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("swarm", "0004_calls_of_turns"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="node",
            index=models.Index(fields=["story_id"], name="swarm_node_story"),
        ),
    ]
